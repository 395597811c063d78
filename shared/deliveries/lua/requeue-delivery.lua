-- requeue-delivery: sends a delivery again from its first attempt; one that waits for a later attempt is due at once.
-- KEYS  delivery, message, endpoint, outbox, backlog, waiting
-- ARGV  deliveryId, evenDelivered ('1' = also one that arrived), backlogMax, outboxChannel, tenant
-- reply 'requeued' | 'arrived' | 'full' | 'gone'
-- cost  O(log deliveries of the tenant)
local state, createdMs, endedMs = unpack(redis.call('HMGET', delivery, 'state', 'createdMs', 'endedMs'))
local status, open = unpack(redis.call('HMGET', endpoint, 'status', 'open'))
if not state or not status or redis.call('HEXISTS', message, 'payload') == 0 then
  return 'gone'
end
if state == 'delivered' and evenDelivered ~= '1' then
  return 'arrived'
end
if endedMs then
  if tonumber(open) >= tonumber(backlogMax) then
    return 'full'
  end
  redis.call('HINCRBY', endpoint, 'open', 1)
end
redis.call('HDEL', delivery, 'endedMs', 'nextMs', 'slotMs', 'rows')
redis.call('HSET', delivery, 'attempts', 0, 'state', status == 'active' and 'pending' or 'held')
if status == 'active' then
  redis.call('ZREM', waiting, deliveryId)
  redis.call('ZADD', outbox, nowMs, deliveryId)
  redis.call('ZADD', backlog, createdMs, deliveryId)
  redis.call('PUBLISH', outboxChannel, tenant)
else
  redis.call('ZADD', waiting, createdMs, deliveryId)
end
return 'requeued'
