#!lua
local record = KEYS[1]
local waiter = ARGV[1]
local follows = ARGV[2]
local restFrom = 3
-- join: an ingress asks to hear of a job's end, and perhaps of its progress.
-- KEYS  record
-- ARGV  waiter (ingress id), follows ('1' = of its progress too)
-- reply 'gone' | 'settled' | 'waiting'
-- cost  O(waiters)
local state, waiters, followers = unpack(redis.call('HMGET', record, 'state', 'waiters', 'followers'))
if not state then
  return 'gone'
end
if state ~= 'queued' and state ~= 'running' then
  return 'settled'
end
local function enter(field, present)
  if not string.find(' ' .. present .. ' ', ' ' .. waiter .. ' ', 1, true) then
    redis.call('HSET', record, field, present == '' and waiter or (present .. ' ' .. waiter))
  end
end
enter('waiters', waiters)
if follows == '1' then
  enter('followers', followers or '')
end
return 'waiting'
