-- RFC 7857 §2.1 wants two timers where there was one.
INSERT INTO nat_setting (name, value)
    SELECT 'tcp-opening', value FROM nat_setting WHERE name = 'tcp-transitory';
UPDATE nat_setting SET name = 'tcp-closing' WHERE name = 'tcp-transitory';
