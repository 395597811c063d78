-- append: adds what an attempt has streamed to the event log of its job. Only who holds the lease may.
-- KEYS  record, events
-- ARGV  token (of the attempt), entryId (epoch-bytes: where the entry ends), first ('1' = the first of its attempt: what
--       an earlier one left is dropped), epoch, bytes, ttlMs
-- reply {'appended', followers} (also when this is sent again because a reply was lost) | {'lost'}
-- cost  O(size of the entry), and for the first one O(entries of the attempt before)
local state, heldToken, followers = unpack(redis.call('HMGET', record, 'state', 'token', 'followers'))
if state ~= 'running' or heldToken ~= token then
  return {'lost'}
end
local added = redis.pcall('XADD', events, entryId, 'b', bytes)
if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
  return redis.error_reply(added.err)
end
if first == '1' then
  redis.call('XTRIM', events, 'MINID', epoch .. '-0')
end
redis.call('PEXPIRE', events, ttlMs)
return {'appended', followers or ''}
