// What is being written, kept in this tab for whoever is signed in: a reload loses none of it, signing out all of it.

const PREFIX = "draft:";
// null: nobody is signed in, and nothing is kept.
let owner = null;

// Whoever signs in finds no drafts of others.
export function draftsOf(identity) {
  owner = identity ? [identity.tenantId, identity.subject].filter(Boolean).join(":") : null;
  if (owner === null) return;
  const others = Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX) && !name.startsWith(nameOf("")));
  others.forEach((name) => sessionStorage.removeItem(name));
}

const nameOf = (name) => `${PREFIX}${owner}:${name}`;

export function draft(name) {
  try {
    return JSON.parse(sessionStorage.getItem(nameOf(name)));
  } catch {
    return null;
  }
}

// False: there is no room for it.
export function keepDraft(name, value) {
  if (owner === null) return true;
  try {
    sessionStorage.setItem(nameOf(name), JSON.stringify(value));
    return true;
  } catch {
    sessionStorage.removeItem(nameOf(name));
    return false;
  }
}

export const dropDraft = (name) => sessionStorage.removeItem(nameOf(name));
