#!lua
local file = KEYS[1]
local files = KEYS[2]
local fileExpiry = KEYS[3]
local fileBytes = KEYS[4]
local suppliedNowMs = ARGV[1]
local fileId = ARGV[2]
local bytes = ARGV[3]
local bytesMax = ARGV[4]
local expiresSeconds = ARGV[5]
local restFrom = 6
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- keep-file: makes the record of a file whose bytes are stored already. Grants a place in the tenant's quota.
-- KEYS  file, files, fileExpiry, fileBytes
-- ARGV  fileId, bytes, bytesMax ('' = never refused), expiresSeconds; rest = field, value, …
-- reply {'kept', createdMs} | {'full', bytes used}
-- cost  O(log files of the tenant)
-- A command that is sent again because its reply was lost finds its own record and changes nothing.
local createdMs = redis.call('HGET', file, 'createdMs')
if createdMs then
  return {'kept', tonumber(createdMs)}
end
local used = tonumber(redis.call('GET', fileBytes) or '0')
if bytesMax ~= '' and used + tonumber(bytes) > tonumber(bytesMax) then
  return {'full', used}
end
local expiresMs = nowMs + tonumber(expiresSeconds) * 1000
local fields = {}
for index = restFrom, #ARGV do
  fields[#fields + 1] = ARGV[index]
end
redis.call('HSET', file, 'createdMs', nowMs, 'expiresMs', expiresMs, 'bytes', bytes, 'holds', 0, unpack(fields))
redis.call('ZADD', files, nowMs, fileId)
redis.call('ZADD', fileExpiry, expiresMs, fileId)
redis.call('INCRBY', fileBytes, bytes)
return {'kept', nowMs}
