#!lua
local endpoint = KEYS[1]
local endpoints = KEYS[2]
local subscriptions = KEYS[3]
local suppliedNowMs = ARGV[1]
local endpointId = ARGV[2]
local mode = ARGV[3]
local endpointsMax = ARGV[4]
local events = ARGV[5]
local ttlMs = ARGV[6]
local restFrom = 7
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- save-endpoint: creates, changes or deletes a webhook endpoint, and with it who hears of which event.
-- KEYS  endpoint, endpoints, subscriptions
-- ARGV  endpointId, mode ('create' | 'unlisted' (made for a URL, or to hold a secret; forgotten after ttlMs unless that
--       is 0) | 'change' | 'delete'), endpointsMax, events ('' = unchanged), ttlMs; rest = field, value, …
-- reply 'saved' | 'full' | 'gone'
-- cost  O(endpoints of the tenant)
local known = redis.call('EXISTS', endpoint) == 1
if (mode == 'change' or mode == 'delete') and not known then
  return 'gone'
end
local isNew = mode == 'create' or mode == 'unlisted'
if mode == 'create' and not known then
  if redis.call('ZCARD', endpoints) >= tonumber(endpointsMax) then
    return 'full'
  end
  redis.call('ZADD', endpoints, nowMs, endpointId)
end
if mode == 'delete' then
  redis.call('DEL', endpoint)
  redis.call('ZREM', endpoints, endpointId)
elseif not (isNew and known) then
  if isNew then
    redis.call('HSET', endpoint, 'createdMs', nowMs, 'status', 'active', 'open', 0)
  end
  if restFrom <= #ARGV then
    redis.call('HSET', endpoint, unpack(ARGV, restFrom))
  end
end
if mode == 'unlisted' and ttlMs ~= '0' then
  redis.call('PEXPIRE', endpoint, ttlMs)
end
if events == '' and mode ~= 'delete' then
  return 'saved'
end
local subscribed = redis.call('HGETALL', subscriptions)
for index = 1, #subscribed, 2 do
  local others = {}
  for id in string.gmatch(subscribed[index + 1], '%S+') do
    if id ~= endpointId then
      others[#others + 1] = id
    end
  end
  if #others == 0 then
    redis.call('HDEL', subscriptions, subscribed[index])
  else
    redis.call('HSET', subscriptions, subscribed[index], table.concat(others, ' '))
  end
end
if mode ~= 'delete' then
  for event in string.gmatch(events, '%S+') do
    local others = redis.call('HGET', subscriptions, event)
    redis.call('HSET', subscriptions, event, (others and others .. ' ' or '') .. endpointId)
  end
end
return 'saved'
