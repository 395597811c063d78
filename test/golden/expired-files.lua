#!lua
local fileExpiry = KEYS[1]
local suppliedNowMs = ARGV[1]
local batch = ARGV[2]
local restFrom = 3
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- expired-files: files whose time has come.
-- KEYS  fileExpiry
-- ARGV  batch
-- reply {fileId, …}
-- cost  O(log files of the tenant + batch)
return redis.call('ZRANGE', fileExpiry, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
