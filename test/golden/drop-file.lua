#!lua flags=allow-oom
local file = KEYS[1]
local files = KEYS[2]
local fileExpiry = KEYS[3]
local fileBytes = KEYS[4]
local suppliedNowMs = ARGV[1]
local fileId = ARGV[2]
local onlyExpired = ARGV[3]
local restFrom = 4
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- drop-file: the pair of keep-file. Gives the place in the quota back; the bytes themselves are removed afterwards.
-- KEYS  file, files, fileExpiry, fileBytes
-- ARGV  fileId, onlyExpired ('1' = only if its time has come)
-- reply 'dropped' | 'held' (a batch reads it) | 'fresh' (its time has not come) | 'gone'
-- cost  O(log files of the tenant)
local bytes, holds, expiresMs = unpack(redis.call('HMGET', file, 'bytes', 'holds', 'expiresMs'))
if not bytes then
  redis.call('ZREM', files, fileId)
  redis.call('ZREM', fileExpiry, fileId)
  return 'gone'
end
if onlyExpired == '1' and tonumber(expiresMs) > nowMs then
  return 'fresh'
end
if tonumber(holds) > 0 then
  return 'held'
end
redis.call('DEL', file)
redis.call('ZREM', files, fileId)
redis.call('ZREM', fileExpiry, fileId)
redis.call('DECRBY', fileBytes, bytes)
return 'dropped'
