-- leave: an ingress no longer awaits or follows a job. Tells whether anybody still does.
-- KEYS  record
-- ARGV  waiter (ingress id)
-- reply number of waiters left; -1 when the job has ended or is gone
-- cost  O(waiters)
local state, waiters, followers = unpack(redis.call('HMGET', record, 'state', 'waiters', 'followers'))
if state ~= 'queued' and state ~= 'running' then
  return -1
end
local function without(present)
  local left = {}
  for each in string.gmatch(present, '%S+') do
    if each ~= waiter then
      left[#left + 1] = each
    end
  end
  return left
end
local left = without(waiters)
redis.call('HSET', record, 'waiters', table.concat(left, ' '))
if followers then
  redis.call('HSET', record, 'followers', table.concat(without(followers), ' '))
end
return #left
