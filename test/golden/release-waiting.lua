#!lua
local endpoint = KEYS[1]
local outbox = KEYS[2]
local backlog = KEYS[3]
local waiting = KEYS[4]
local deliveryPrefix = KEYS[5]
local suppliedNowMs = ARGV[1]
local endpointId = ARGV[2]
local batch = ARGV[3]
local outboxChannel = ARGV[4]
local tenant = ARGV[5]
local restFrom = 6
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- release-waiting: what an endpoint has waiting, for a later attempt or for being resumed, is due now.
-- Oldest first, a bounded number at a time; as long as there is more the endpoint stands in the outbox for the next step.
-- KEYS  endpoint, outbox, backlog, waiting, deliveryPrefix (completed by an id)
-- ARGV  endpointId, batch, outboxChannel, tenant
-- reply how many
-- cost  O(batch)
local ids = redis.call('ZPOPMIN', waiting, batch)
for index = 1, #ids, 2 do
  local id = ids[index]
  if redis.call('EXISTS', deliveryPrefix .. id) == 1 then
    redis.call('HDEL', deliveryPrefix .. id, 'nextMs', 'slotMs')
  end
  redis.call('ZADD', outbox, nowMs, id)
  redis.call('ZADD', backlog, ids[index + 1], id)
end
if redis.call('EXISTS', waiting) == 1 then
  redis.call('ZADD', outbox, nowMs, endpointId)
else
  redis.call('ZREM', outbox, endpointId)
end
if redis.call('EXISTS', endpoint) == 1 then
  redis.call('HDEL', endpoint, 'tatMs')
end
if #ids > 0 then
  redis.call('PUBLISH', outboxChannel, tenant)
end
return #ids / 2
