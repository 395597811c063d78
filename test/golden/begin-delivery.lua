#!lua flags=allow-oom
local delivery = KEYS[1]
local message = KEYS[2]
local endpoint = KEYS[3]
local fallback = KEYS[4]
local outbox = KEYS[5]
local backlog = KEYS[6]
local waiting = KEYS[7]
local suppliedNowMs = ARGV[1]
local deliveryId = ARGV[2]
local gapMs = ARGV[3]
local burstMs = ARGV[4]
local restFrom = 5
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- begin-delivery: whether an attempt may be made now, and what it needs.
-- Grants the endpoint's rate (GCRA: a place in time per attempt, kept when it comes back).
-- KEYS  delivery, message, endpoint, fallback (whose keys sign when the endpoint has none), outbox, backlog, waiting
-- ARGV  deliveryId, gapMs (between attempts), burstMs (how far ahead of that pace attempts may run)
-- reply {'send', attempt, nowMs, url, whose keys ('own' | 'fallback'), keys, payload} | {'later', ms} | {'held'} | {'done'}
-- cost  O(size of the payload)
local state, attempts, nextMs, slotMs, createdMs =
  unpack(redis.call('HMGET', delivery, 'state', 'attempts', 'nextMs', 'slotMs', 'createdMs'))
local status, url, signing, tatMs = unpack(redis.call('HMGET', endpoint, 'status', 'url', 'keys', 'tatMs'))
local payload = redis.call('HGET', message, 'payload')
local isOpen = state == 'pending' or state == 'held'
if not isOpen or not status or not payload then
  local removed = redis.call('ZREM', outbox, deliveryId) + redis.call('ZREM', waiting, deliveryId)
  redis.call('ZREM', backlog, deliveryId)
  if isOpen then
    redis.call('HSET', delivery, 'state', 'failed', 'endedMs', nowMs)
  end
  -- What was kept too long to be sent was open until now.
  if status and removed > 0 and (isOpen or not state) then
    redis.call('HINCRBY', endpoint, 'open', -1)
  end
  return {'done'}
end
if status ~= 'active' then
  redis.call('HSET', delivery, 'state', 'held')
  redis.call('ZREM', outbox, deliveryId)
  redis.call('ZREM', backlog, deliveryId)
  redis.call('ZADD', waiting, createdMs, deliveryId)
  return {'held'}
end
if nextMs and tonumber(nextMs) > nowMs then
  return {'later', nextMs - nowMs}
end
if slotMs then
  if tonumber(slotMs) > nowMs then
    return {'later', slotMs - nowMs}
  end
else
  local tat = math.max(nowMs, tonumber(tatMs or 0))
  redis.call('HSET', endpoint, 'tatMs', tat + tonumber(gapMs))
  local slot = tat - tonumber(burstMs)
  if slot > nowMs then
    redis.call('HSET', delivery, 'slotMs', slot)
    return {'later', slot - nowMs}
  end
  redis.call('HSET', delivery, 'slotMs', nowMs)
end
redis.call('HSET', delivery, 'state', 'pending')
redis.call('ZREM', waiting, deliveryId)
if signing then
  return {'send', attempts + 1, nowMs, url, 'own', signing, payload}
end
return {'send', attempts + 1, nowMs, url, 'fallback', redis.call('HGET', fallback, 'keys') or '', payload}
