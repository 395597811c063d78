#!lua
local message = KEYS[1]
local outbox = KEYS[2]
local subscriptions = KEYS[3]
local suppliedNowMs = ARGV[1]
local messageId = ARGV[2]
local type = ARGV[3]
local payload = ARGV[4]
local target = ARGV[5]
local retentionMs = ARGV[6]
local outboxChannel = ARGV[7]
local tenant = ARGV[8]
local restFrom = 9
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- publish-message: a message into the outbox, once, if anybody is to hear of it.
-- KEYS  message, outbox, subscriptions
-- ARGV  messageId, type, payload, target (an endpoint; '' = whoever subscribed), retentionMs, outboxChannel, tenant
-- reply 'published' | 'known' | 'unheard'
-- cost  O(size of the payload)
if redis.call('EXISTS', message) == 1 then
  return 'known'
end
if target == '' and redis.call('HEXISTS', subscriptions, type) == 0 then
  return 'unheard'
end
redis.call('HSET', message, 'type', type, 'payload', payload, 'target', target, 'createdMs', nowMs)
redis.call('PEXPIRE', message, retentionMs)
redis.call('ZADD', outbox, nowMs, messageId)
redis.call('PUBLISH', outboxChannel, tenant)
return 'published'
