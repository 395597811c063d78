--[[
  Commands. Ours go through `call`; BullMQ's own, and all events, through `rcall`. BullMQ writes up to four events per job
  into a stream that only QueueEvents reads; a caller that has none mutes them, and they are never sent.
]]
local call, rcall
local function callWithoutEvents(command, ...)
  if command == 'XADD' or command == 'XTRIM' then return false end
  return call(command, ...)
end
--- @each call
call = redis.call
rcall = arg.mutedEvents == '1' and callWithoutEvents or call
