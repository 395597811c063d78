-- move-waiting: a job that no worker runs goes on at another target of its route.
-- KEYS  record
-- ARGV  from (index of the target it is to be at), target, provider, pool, model, tokens (of the new one), waitReason,
--       attemptRow (JSON, tells the story)
-- reply 'moved' | 'other' (it runs, has ended, or is elsewhere: also when this is sent again because a reply was lost)
-- cost  O(attempts)
local state, present, attempts, attempt =
  unpack(redis.call('HMGET', record, 'state', 'target', 'attempts', 'attempt'))
if state ~= 'queued' or (present or '0') ~= from then
  return 'other'
end
redis.call('HDEL', record, 'notBeforeMs')
redis.call('HSET', record, 'target', target, 'arrivedMs', nowMs, 'attemptsBefore', attempt, 'refusals', 0,
  'provider', provider, 'pool', pool, 'model', model, 'tokens', tokens, 'waitReason', waitReason,
  'attempts', (attempts and (attempts .. '\n') or '') .. attemptRow)
return 'moved'
