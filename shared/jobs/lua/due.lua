-- due: unfinished jobs that the sweeper should look at now.
-- KEYS  open
-- ARGV  batch
-- reply {nowMs, jobId, …}
-- cost  O(log open jobs + batch)
local due = redis.call('ZRANGE', open, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
table.insert(due, 1, nowMs)
return due
