#!lua
local open = KEYS[1]
local suppliedNowMs = ARGV[1]
local batch = ARGV[2]
local restFrom = 3
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- due: unfinished jobs that the sweeper should look at now.
-- KEYS  open
-- ARGV  batch
-- reply {nowMs, jobId, …}
-- cost  O(log open jobs + batch)
local due = redis.call('ZRANGE', open, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
table.insert(due, 1, nowMs)
return due
