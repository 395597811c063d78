-- remove-document: takes one document out of the changed settings, and notes who did, in one step.
-- KEYS  documents, shown, changes, removed, state, audit, change (what this very change answered)
-- ARGV  field (`<kind>/<id>`), expected ('' = any), who, auditMax, removedMax (removals that readers can still catch up
--       with one by one), changeMs (how long the answer is remembered), channel
-- reply {'removed', version} | {'missing', 0} | {'conflict', version of the document that is there}
-- cost  O(log documents)
-- A change that is sent again because its reply was lost is answered as before and changes nothing.
local done = redis.call('GET', change)
if done then
  return {'removed', tonumber(done)}
end
if redis.call('HEXISTS', documents, field) == 0 then
  return {'missing', 0}
end
local current = tonumber(redis.call('ZSCORE', changes, field))
if expected ~= '' and tonumber(expected) ~= current then
  return {'conflict', current}
end
local before = redis.call('HGET', shown, field) or ''
local version = redis.call('HINCRBY', state, 'version', 1)
redis.call('HDEL', documents, field)
redis.call('HDEL', shown, field)
redis.call('ZREM', changes, field)
redis.call('ZADD', removed, version, field)
while redis.call('ZCARD', removed) > tonumber(removedMax) do
  redis.call('HSET', state, 'floor', redis.call('ZPOPMIN', removed)[2])
end
redis.call('XADD', audit, 'MAXLEN', '~', auditMax, '*', 'who', who, 'action', 'remove',
  'subject', field, 'version', version, 'before', before, 'after', '')
redis.call('SET', change, version, 'PX', changeMs)
redis.call('PUBLISH', channel, version)
return {'removed', version}
