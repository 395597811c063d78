-- add-delivery: one message on its way to one endpoint, once.
-- It waits when the endpoint is paused, and is only noted when too many wait already.
-- KEYS  delivery, endpoint, outbox, backlog, waiting, log, deliveryPrefix (completed by an id)
-- ARGV  deliveryId, type, createdMs (of the message), retentionMs, backlogMax, logMax
-- reply 'pending' | 'held' | 'dropped' | 'known' | 'gone' (there is no such endpoint)
-- cost  O(log deliveries of the endpoint)
local status, open = unpack(redis.call('HMGET', endpoint, 'status', 'open'))
if not status then
  return 'gone'
end
if redis.call('EXISTS', delivery) == 1 then
  return 'known'
end
local state = 'pending'
if tonumber(open) >= tonumber(backlogMax) then
  state = 'dropped'
elseif status ~= 'active' then
  state = 'held'
end
redis.call('HSET', delivery, 'state', state, 'type', type, 'createdMs', createdMs, 'attempts', 0)
redis.call('PEXPIRE', delivery, retentionMs)
redis.call('ZADD', log, createdMs, deliveryId)
redis.call('PEXPIRE', log, retentionMs)
-- Two at most, one more than comes in, so that a lowered bound is reached in the end.
for _ = 1, 2 do
  if redis.call('ZCARD', log) > tonumber(logMax) then
    local oldest = redis.call('ZPOPMIN', log)[1]
    local ended = redis.call('HGET', deliveryPrefix .. oldest, 'endedMs')
    if ended then
      redis.call('DEL', deliveryPrefix .. oldest)
    end
  end
end
if state == 'dropped' then
  redis.call('HSET', delivery, 'endedMs', nowMs)
  return state
end
redis.call('HINCRBY', endpoint, 'open', 1)
if state == 'held' then
  redis.call('ZADD', waiting, createdMs, deliveryId)
else
  redis.call('ZADD', outbox, nowMs, deliveryId)
  redis.call('ZADD', backlog, createdMs, deliveryId)
end
return state
