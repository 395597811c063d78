#!lua flags=allow-oom
local batch = KEYS[1]
local openBatches = KEYS[2]
local done = KEYS[3]
local file = KEYS[4]
local outbox = KEYS[5]
local message = KEYS[6]
local subscriptions = KEYS[7]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local batchId = ARGV[3]
local state = ARGV[4]
local retentionMs = ARGV[5]
local event = ARGV[6]
local messageId = ARGV[7]
local outboxChannel = ARGV[8]
local tenant = ARGV[9]
local restFrom = 10
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- end-batch: the end of a batch, by its holder. Gives back its input file and its place among the open ones.
-- A batch that somebody wants to hear of by webhook gets its message in the same step.
-- KEYS  batch, openBatches, done, file, outbox, message, subscriptions
-- ARGV  token, batchId, state, retentionMs, event (its type), messageId, outboxChannel, tenant; rest = field, value, …
-- reply {'ended', state} | {'other', status} (it has ended another way) | {'lost', ''}
-- cost  O(1)
local status, holder = unpack(redis.call('HMGET', batch, 'status', 'holder'))
if not status then
  return {'lost', ''}
end
if redis.call('SISMEMBER', openBatches, batchId) == 0 then
  return {status == state and 'ended' or 'other', status}
end
if holder ~= token then
  return {'lost', ''}
end
local fields = {}
for index = restFrom, #ARGV do
  fields[#fields + 1] = ARGV[index]
end
redis.call('HDEL', batch, 'holder', 'leaseUntilMs', 'lastAppend', 'cursorLine', 'cursorOffset', 'linesPerSecond')
redis.call('HSET', batch, 'status', state, state .. 'Ms', nowMs, unpack(fields))
redis.call('PEXPIRE', batch, retentionMs)
redis.call('DEL', done)
redis.call('SREM', openBatches, batchId)
if redis.call('EXISTS', file) == 1 then
  redis.call('HINCRBY', file, 'holds', -1)
end
if redis.call('HEXISTS', subscriptions, event) == 1 then
  redis.call('HSET', message, 'type', event, 'batch', batchId, 'createdMs', nowMs)
  redis.call('ZADD', outbox, nowMs, messageId)
  redis.call('PUBLISH', outboxChannel, tenant)
end
return {'ended', state}
