-- due-members: what is due, of a sorted set of ids by the time they are.
-- KEYS  moments
-- ARGV  batch
-- reply {id, …}
-- cost  O(log ids + batch)
return redis.call('ZRANGE', moments, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
