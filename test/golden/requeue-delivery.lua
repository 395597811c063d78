#!lua
local delivery = KEYS[1]
local message = KEYS[2]
local endpoint = KEYS[3]
local outbox = KEYS[4]
local backlog = KEYS[5]
local waiting = KEYS[6]
local suppliedNowMs = ARGV[1]
local deliveryId = ARGV[2]
local evenDelivered = ARGV[3]
local backlogMax = ARGV[4]
local outboxChannel = ARGV[5]
local tenant = ARGV[6]
local restFrom = 7
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
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
