#!lua
local record = KEYS[1]
local waiter = ARGV[1]
local restFrom = 2
-- join: an ingress asks to hear of a job's end.
-- KEYS  record
-- ARGV  waiter (ingress id)
-- reply 'gone' | 'settled' | 'waiting'
-- cost  O(waiters)
local state, waiters = unpack(redis.call('HMGET', record, 'state', 'waiters'))
if not state then
  return 'gone'
end
if state ~= 'queued' and state ~= 'running' then
  return 'settled'
end
if not string.find(' ' .. waiters .. ' ', ' ' .. waiter .. ' ', 1, true) then
  redis.call('HSET', record, 'waiters', waiters == '' and waiter or (waiters .. ' ' .. waiter))
end
return 'waiting'
