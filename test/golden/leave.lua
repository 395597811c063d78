#!lua
local record = KEYS[1]
local waiter = ARGV[1]
local restFrom = 2
-- leave: an ingress no longer awaits a job. Tells whether anybody still does.
-- KEYS  record
-- ARGV  waiter (ingress id)
-- reply number of waiters left; -1 when the job has ended or is gone
-- cost  O(waiters)
local state, waiters = unpack(redis.call('HMGET', record, 'state', 'waiters'))
if state ~= 'queued' and state ~= 'running' then
  return -1
end
local left = {}
for each in string.gmatch(waiters, '%S+') do
  if each ~= waiter then
    left[#left + 1] = each
  end
end
redis.call('HSET', record, 'waiters', table.concat(left, ' '))
return #left
