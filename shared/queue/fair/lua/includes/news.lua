--[[
  News about the credentials of a pool, for every worker that serves it: what was granted on one before it was held back,
  and is not sent yet, must not be sent. Redis' time, so that it can be compared with that of a grant.
]]
local news = {}

function news.tell(credential, state, forMs)
  call('PUBLISH', key.news, cjson.encode({ credential = credential, state = state, forMs = forMs, atMs = nowMs }))
end
