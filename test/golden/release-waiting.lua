#!lua
local endpoint = KEYS[1]
local outbox = KEYS[2]
local backlog = KEYS[3]
local waiting = KEYS[4]
local deliveryPrefix = KEYS[5]
local suppliedNowMs = ARGV[1]
local outboxChannel = ARGV[2]
local tenant = ARGV[3]
local restFrom = 4
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- release-waiting: all that an endpoint has waiting, for a later attempt or for being resumed, is due now.
-- KEYS  endpoint, outbox, backlog, waiting, deliveryPrefix (completed by an id)
-- ARGV  outboxChannel, tenant
-- reply how many
-- cost  O(what waits), bounded by webhooks.endpoint_backlog_max
local ids = redis.call('ZRANGE', waiting, 0, -1, 'WITHSCORES')
for index = 1, #ids, 2 do
  local id = ids[index]
  if redis.call('EXISTS', deliveryPrefix .. id) == 1 then
    redis.call('HDEL', deliveryPrefix .. id, 'nextMs', 'slotMs')
  end
  redis.call('ZADD', outbox, nowMs, id)
  redis.call('ZADD', backlog, ids[index + 1], id)
end
redis.call('DEL', waiting)
if redis.call('EXISTS', endpoint) == 1 then
  redis.call('HDEL', endpoint, 'tatMs')
end
if #ids > 0 then
  redis.call('PUBLISH', outboxChannel, tenant)
end
return #ids / 2
