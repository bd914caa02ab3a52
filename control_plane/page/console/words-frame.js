// Words of the frame, and those that several screens share: [Chinese, English].
export const FRAME = {
  consoleName: ["控制台", "Console"], skip: ["跳到内容", "Skip to the content"], tryIt: ["试用页面", "Try it"],
  otherLanguage: ["English", "中文"], screens: ["功能", "Screens"],
  signIn: ["登录", "Sign in"], signOut: ["退出登录", "Sign out"], signInWithKey: ["使用密钥登录", "Sign in with a key"],
  key: ["密钥", "Key"],
  keyHint: ["租户密钥或管理员密钥，只保存在本标签页，退出登录即清除。", "A tenant's key, or the admin key. It stays in this tab and is gone when you sign out."],
  unknownKey: ["密钥无效、已过期，或所属租户已停用。", "The key is unknown or has expired, or its tenant is suspended."],
  notManagedHere: ["这个端口不提供管理接口：请从内部端口打开控制台。", "Tenants are not managed at this address; open the console on the internal port."],
  signedOut: ["请登录。", "Sign in to continue."], sessionEnded: ["密钥已失效，请重新登录。", "The key no longer works; sign in again."],
  operator: ["管理员", "Operator"], withoutKey: ["本机，无需密钥", "this machine, no key needed"],
  noSuchScreen: ["没有这个页面，或密钥没有所需的权限。", "There is no such screen, or the key lacks the scope for it."],
  noScreens: ["这个密钥的权限没有对应的页面。", "The key's scopes allow none of the screens."],
  firstPage: ["第一页", "First page"], nextPage: ["下一页", "Next page"], pages: ["分页", "Pages"],
  nothing: ["没有内容。", "There is nothing here."], cancel: ["取消", "Cancel"], close: ["关闭", "Close"],
  create: ["创建", "Create"], remove: ["删除", "Delete"], save: ["保存", "Save"], name: ["名称", "Name"], created: ["创建时间", "Created"],
  status: ["状态", "Status"], none: ["无", "none"], copied: ["已复制", "Copied"], copy: ["复制", "Copy"],
  notKept: ["浏览器的存储空间已满，草稿在刷新后会丢失。", "The browser's storage is full: a reload would lose the draft."],
};
