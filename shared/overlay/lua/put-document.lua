-- put-document: stores one document of the changed settings, and who changed it, in one step.
-- KEYS  documents, shown, changes, removed, state, audit, change (what this very change answered)
-- ARGV  field (`<kind>/<id>`), document, shownNow (without secrets), expected ('' = any, 0 = there is none), documentsMax,
--       who, auditMax, changeMs (how long the answer is remembered), channel
-- reply {'put', version} | {'conflict', version of the document that is there, 0 = none} | {'full', documents}
-- cost  O(log documents)
-- A change that is sent again because its reply was lost is answered as before and changes nothing.
local done = redis.call('GET', change)
if done then
  return {'put', tonumber(done)}
end
local current = redis.call('HEXISTS', documents, field) == 1 and tonumber(redis.call('ZSCORE', changes, field)) or 0
if expected ~= '' and tonumber(expected) ~= current then
  return {'conflict', current}
end
local held = redis.call('HLEN', documents)
if current == 0 and held >= tonumber(documentsMax) then
  return {'full', held}
end
local before = redis.call('HGET', shown, field) or ''
local version = redis.call('HINCRBY', state, 'version', 1)
redis.call('HSET', documents, field, document)
redis.call('HSET', shown, field, shownNow)
redis.call('ZADD', changes, version, field)
redis.call('ZREM', removed, field)
redis.call('XADD', audit, 'MAXLEN', '~', auditMax, '*', 'who', who, 'action', current == 0 and 'create' or 'change',
  'subject', field, 'version', version, 'before', before, 'after', shownNow)
redis.call('SET', change, version, 'PX', changeMs)
redis.call('PUBLISH', channel, version)
return {'put', version}
