-- What was computed of each part by itself: parts then come in any order, several at once.

ALTER TABLE parts ADD COLUMN crc64nvme TEXT; -- of the part's own bytes, 16 hexadecimal digits; NULL: not computed
