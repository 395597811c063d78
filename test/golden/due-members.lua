#!lua
local moments = KEYS[1]
local suppliedNowMs = ARGV[1]
local batch = ARGV[2]
local restFrom = 3
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- due-members: what is due, of a sorted set of ids by the time they are.
-- KEYS  moments
-- ARGV  batch
-- reply {id, …}
-- cost  O(log ids + batch)
return redis.call('ZRANGE', moments, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
