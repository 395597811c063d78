-- end-attempt: what came of an attempt, and when the next one is.
-- An endpoint that is gone (410) is disabled, one that has only failed for too long is paused.
-- KEYS  delivery, endpoint, outbox, backlog, waiting
-- ARGV  deliveryId, attempt (its number), result ('delivered' | 'failed' | 'gone'), row (JSON, for the log),
--       delayMs (until the next attempt, '' = there is none), throttleMs (how long the endpoint asked to be left alone),
--       pauseAfterMs, recheckMs
-- reply {'done', what happened to the endpoint} | {'later', the same, ms}; 'recovered', 'disabled', 'paused' or ''
-- cost  O(log deliveries of the tenant)
local state, attempts, rows, nextMs, createdMs =
  unpack(redis.call('HMGET', delivery, 'state', 'attempts', 'rows', 'nextMs', 'createdMs'))
if state ~= 'pending' then
  return {'done', ''}
end
-- Sent again because its reply was lost, or started anew meanwhile.
if tonumber(attempts) + 1 ~= tonumber(attempt) then
  return {'later', '', math.max(0, tonumber(nextMs or 0) - nowMs)}
end
redis.call('HSET', delivery, 'attempts', attempt, 'rows', (rows and rows .. '\n' or '') .. row)
redis.call('HDEL', delivery, 'slotMs')
local known = redis.call('EXISTS', endpoint) == 1
local change, failing = '', tonumber(known and redis.call('HGET', endpoint, 'failingSinceMs') or '')
if known and result == 'delivered' then
  if failing then
    redis.call('HDEL', endpoint, 'failingSinceMs')
    change = 'recovered'
  end
elseif known and result == 'gone' then
  redis.call('HSET', endpoint, 'status', 'disabled', 'reason', 'gone')
  change = 'disabled'
elseif known then
  redis.call('HSET', endpoint, 'failingSinceMs', failing or nowMs)
  if failing and nowMs - failing >= tonumber(pauseAfterMs) then
    redis.call('HSET', endpoint, 'status', 'paused', 'reason', 'failing')
    change = 'paused'
  end
  if tonumber(throttleMs) > 0 then
    local tat = tonumber(redis.call('HGET', endpoint, 'tatMs') or 0)
    redis.call('HSET', endpoint, 'tatMs', math.max(tat, nowMs + tonumber(throttleMs)))
  end
end
if result == 'failed' and delayMs ~= '' then
  local dueMs = nowMs + tonumber(delayMs)
  redis.call('HSET', delivery, 'nextMs', dueMs)
  redis.call('ZADD', outbox, dueMs + tonumber(recheckMs), deliveryId)
  redis.call('ZADD', waiting, createdMs, deliveryId)
  return {'later', change, tonumber(delayMs)}
end
redis.call('HSET', delivery, 'state', result == 'delivered' and 'delivered' or 'failed', 'endedMs', nowMs)
redis.call('HDEL', delivery, 'nextMs')
redis.call('ZREM', outbox, deliveryId)
redis.call('ZREM', backlog, deliveryId)
if known then
  redis.call('HINCRBY', endpoint, 'open', -1)
end
return {'done', change}
