from gateway.auth.authenticator import TokenAuthenticator
from gateway.kernels.credentials import IssuedKernelTokens
from gateway.principal import Principal
from gateway.settings import AuthSettings

ADMIN = Principal(user="alice", groups=("eo/team",), charging_group="eo/team", admin=True)


async def test_a_kernels_token_acts_as_its_user_without_admin_rights_and_ends_with_it(tmp_path) -> None:
    authenticator = TokenAuthenticator(AuthSettings(), state=tmp_path)
    async with authenticator.running():
        tokens = IssuedKernelTokens(authenticator=authenticator)
        kept = await tokens.issue(ADMIN, purpose="k-1")
        ended = await tokens.issue(ADMIN, purpose="k-2")
        identity = await authenticator.identify(kept)
        assert identity is not None
        assert (identity.user, identity.charging_group, identity.admin) == ("alice", "eo/team", False)
        assert identity.scopes == ("read", "compute")
        await tokens.revoke(purpose="k-2")
        await tokens.revoke(purpose="k-2")
        assert await authenticator.identify(kept) is not None
        valid = [token.grant.note for token in await authenticator.issued() if token.revoked_at is None]
        assert valid == ["k-1"]
        assert ended.startswith("lg_")
