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
