from edges.hops import MAX_HOPS, Hops, arriving, came_around, hops, name_of_gateway, read_hops

OWN, OTHER = name_of_gateway(b"own"), name_of_gateway(b"other")


def test_a_name_is_one_for_all_gateways_of_a_key_and_tells_nothing_of_it() -> None:
    assert name_of_gateway(b"own") == OWN != OTHER
    assert len(OWN) == 16


def test_a_request_that_came_through_others_goes_on() -> None:
    assert read_hops(f" {OTHER} , {OTHER}", OWN) == Hops(names=(OTHER, OTHER))


def test_a_request_that_came_through_this_gateway_has_come_around() -> None:
    assert read_hops(f"{OTHER}, {OWN}, {OTHER}", OWN).around


def test_what_is_no_name_is_passed_over() -> None:
    assert read_hops("x, , 0123456789ABCDEF, " + OTHER + "\n", OWN) == Hops(names=(OTHER,))


def test_a_way_that_is_too_long_is_not_followed() -> None:
    names = [name_of_gateway(str(number).encode()) for number in range(MAX_HOPS)]
    assert not read_hops(", ".join(names[1:]), OWN).around
    assert read_hops(", ".join(names), OWN).around
    assert read_hops(", ".join(names * 50), OWN).around


def test_the_way_holds_within_its_context_only() -> None:
    with arriving(read_hops(OWN, OWN)):
        assert came_around()
        assert hops().names == (OWN,)
    assert not came_around()
    assert hops() == Hops()
