--[[
  Commands. Ours go through `call`; BullMQ's own, and all events, through `rcall`. BullMQ writes up to four events per job
  into a stream that only QueueEvents reads; a caller that has none mutes them, and they are never sent.
]]
local call = redis.call
local rcall = call
if arg.mutedEvents == '1' then
  rcall = function(command, ...)
    if command == 'XADD' or command == 'XTRIM' then return false end
    return call(command, ...)
  end
end
