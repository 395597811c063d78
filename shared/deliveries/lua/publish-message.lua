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
