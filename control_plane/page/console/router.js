// Where the reader is: the screen, its object and its parameters, in the hash of the URL, so that a reload finds it.

// { screen, path, params }: `#/label-sets/tickets?version=3` has the path ["tickets"].
export function currentRoute() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [screen, ...rest] = path.split("/").filter(Boolean).map(decoded);
  return { screen: screen ?? "", path: rest, params: Object.fromEntries(new URLSearchParams(query)) };
}

export function addressOf(parts, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(given).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

export const go = (parts, params) => (location.hash = addressOf(parts, params));

// Other parameters of the same place, without a step back to this one and without drawing it anew.
export const keepInAddress = (route, params) => history.replaceState(null, "", addressOf([route.screen, ...route.path], { ...route.params, ...params }));

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
