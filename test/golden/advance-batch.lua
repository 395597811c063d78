#!lua flags=allow-oom
local batch = KEYS[1]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local from = ARGV[3]
local to = ARGV[4]
local restFrom = 5
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- advance-batch: the holder takes a batch one step further: validating → in_progress, in_progress → finalizing.
-- KEYS  batch
-- ARGV  token, from, to; rest = field, value, …
-- reply {'advanced', to} | {'other', status} (somebody cancelled it) | {'lost', ''}
-- cost  O(1)
local status, holder = unpack(redis.call('HMGET', batch, 'status', 'holder'))
if holder ~= token then
  return {'lost', ''}
end
-- Sent again because its reply was lost.
if status == to then
  return {'advanced', to}
end
if status ~= from then
  return {'other', status}
end
local fields = {}
for index = restFrom, #ARGV do
  fields[#fields + 1] = ARGV[index]
end
redis.call('HSET', batch, 'status', to, to .. 'Ms', nowMs, unpack(fields))
return {'advanced', to}
