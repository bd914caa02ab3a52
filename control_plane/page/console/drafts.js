// What is being written, kept in this tab for whoever is signed in: a reload loses none of it, signing out all of it.

const PREFIX = "draft:";
let owner = "";

export const draftsOf = (identity) => (owner = identity?.tenantId ?? "");
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
  try {
    sessionStorage.setItem(nameOf(name), JSON.stringify(value));
    return true;
  } catch {
    sessionStorage.removeItem(nameOf(name));
    return false;
  }
}

export const dropDraft = (name) => sessionStorage.removeItem(nameOf(name));
