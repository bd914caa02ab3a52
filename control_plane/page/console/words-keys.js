// Words about keys, usage and budgets, of tenants and of operators: [Chinese, English].
export const KEYS = {
  keys: ["密钥", "Keys"], newKey: ["新建密钥", "New key"], keyId: ["编号", "Id"], scopes: ["权限", "Scopes"], lastUsed: ["最近使用", "Last used"], never: ["从未", "never"],
  keyName: ["名称（可选）", "Name (optional)"], expiresAt: ["到期时间（可选）", "Expires (optional)"], expiry: ["到期", "Expires"], noExpiry: ["不过期", "never"], thisKey: ["当前密钥", "this key"],
  keyCreated: ["新密钥", "The new key"], keyOnce: ["请立即保存：关闭后无法再次查看。", "Copy it now: it cannot be shown again."],
  rotate: ["轮换", "Rotate"], rotateTitle: [(id) => `轮换密钥 ${id}`, (id) => `Rotate the key ${id}`], overlap: ["旧密钥继续有效的小时数", "Hours for which the old key still works"],
  revoke: ["吊销", "Revoke"], confirmRevoke: [(id) => `吊销密钥 ${id}？使用它的程序会立即被拒绝。`, (id) => `Revoke the key ${id}? Programs that use it are refused at once.`],
  revoked: [(id) => `已吊销 ${id}`, (id) => `Revoked ${id}`], revokeOwn: ["这是当前登录使用的密钥，吊销后会退出登录。", "You are signed in with it, and will be signed out."],
  from: ["从", "From"], day: ["日期（UTC）", "Day (UTC)"], requests: ["请求", "Requests"], tokens: ["Token", "Tokens"], cost: ["费用", "Cost"],
  pairs: ["句对", "Pairs"], pairsComputed: ["计算的句对", "Pairs computed"], pairsCached: ["命中缓存的句对", "Pairs from the cache"],
  labelSet: ["标签集", "Label set"], byLabelSet: ["按标签集", "By label set"], byLabelSetHint: ["点击名称，只看该标签集的每日用量。", "Choose one to see its days alone."], everyLabelSet: ["显示全部用量", "Show all usage"],
  usedOf: [(used, limit) => `${used} / ${limit}`, (used, limit) => `${used} of ${limit}`], renewed: ["重置时间", "Renewed"],
  enforcement: ["超出时", "When exceeded"], hard: ["拒绝请求", "requests are refused"], soft: ["只提示", "responses say so"], shadow: ["只记录", "it is counted"],
};
