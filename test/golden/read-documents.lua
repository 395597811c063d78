#!lua
local documents = KEYS[1]
local changes = KEYS[2]
local removed = KEYS[3]
local state = KEYS[4]
local known = ARGV[1]
local restFrom = 2
-- read-documents: what has changed in the documents since a version, or all of them when that cannot be told.
-- KEYS  documents, changes, removed, state
-- ARGV  known (version the reader has; -1 = nothing)
-- reply {version, 'some' | 'all', field, version of the document, document ('' = removed), …}
-- cost  O(log documents + what is answered)
local version = tonumber(redis.call('HGET', state, 'version') or '0')
local floor = tonumber(redis.call('HGET', state, 'floor') or '0')
local since = tonumber(known)
local whole = since < floor or since > version
local reply = {version, whole and 'all' or 'some'}
local from = whole and '-inf' or '(' .. known
local changed = redis.call('ZRANGE', changes, from, '+inf', 'BYSCORE', 'WITHSCORES')
for index = 1, #changed, 2 do
  reply[#reply + 1] = changed[index]
  reply[#reply + 1] = changed[index + 1]
  reply[#reply + 1] = redis.call('HGET', documents, changed[index])
end
if not whole then
  local gone = redis.call('ZRANGE', removed, from, '+inf', 'BYSCORE', 'WITHSCORES')
  for index = 1, #gone, 2 do
    reply[#reply + 1] = gone[index]
    reply[#reply + 1] = gone[index + 1]
    reply[#reply + 1] = ''
  end
end
return reply
