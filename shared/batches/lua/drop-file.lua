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
