-- What is looked for again and again is found without going through a whole table, however long it has grown.

-- Bytes that are still charged to who paid for an earlier version of the object.
CREATE INDEX objects_replaced ON objects (payer) WHERE charged > 0 AND charge_version <> version;
CREATE INDEX refunds_of_object ON refunds (object) WHERE done = 0;
CREATE INDEX orders_by_creation ON orders (created DESC, id);
CREATE INDEX orders_done ON orders (target, finished) WHERE state = 'OK';
