// The console's frame: who is signed in, which screen is shown, and what went wrong.
//
// A screen is `show(view)`; the view has
//   root      what the screen fills; the frame has emptied it
//   route     { screen, path, params } of the address
//   identity  who is signed in, see session.js
//   signal    aborts when the screen is left
//   act(f)    a listener that runs f, disables its button meanwhile, and shows what f throws
//   tell(t)   says t
//   title(t)  names the screen more precisely
//   redraw()  shows the screen anew
//   leave(parts, t)  goes to another place and says t there

import { $, state } from "../page.js";
import { link } from "./dom.js";
import { draftsOf } from "./drafts.js";
import { addressOf, currentRoute, go } from "./router.js";
import { SCREENS } from "./screens.js";
import { forgetKey, hasKey, hasPerson, identify, signOut } from "./session.js";
import { drawSignIn } from "./sign-in.js";
import { takeAnswer } from "./single-sign-on.js";
import { say } from "./words.js";

const SIGN_IN = "sign-in";
let identity = null, drawing = new AbortController(), shownPlace = null, toTell = "", answer = null;

const isAllowed = (screen) => identity !== null && [screen.needs].flat().every((scope) => identity.scopes.includes(scope));

function tell(text) {
  $("status").textContent = text;
  $("status").hidden = !text;
}

function report(error) {
  if (error?.name === "AbortError") return;
  if (error?.status === 401 && identity) {
    const ended = identity.person ? "personEnded" : "sessionEnded";
    forgetKey();
    become(null);
    error = new Error(say(ended));
  }
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
  if (error) $("problem").scrollIntoView({ block: "nearest" });
}

const act = (action) => async (event) => {
  event.preventDefault();
  const node = event.submitter ?? event.currentTarget;
  // Only buttons: a field that was disabled would lose the focus.
  const button = node instanceof HTMLButtonElement ? node : {}, hadFocus = document.activeElement === node;
  report(null);
  tell("");
  button.disabled = true;
  try {
    await action(event);
  } catch (error) {
    report(error);
  } finally {
    button.disabled = false;
    if (hadFocus && node.isConnected && document.activeElement === document.body) node.focus();
  }
};

function setTitle(text) {
  $("title").textContent = text;
  document.title = `${text} · wanneng`;
}

function drawFrame() {
  document.documentElement.lang = state.language;
  $("skip").textContent = say("skip");
  $("try").textContent = say("tryIt");
  $("language").textContent = say("otherLanguage");
  $("sign").textContent = identity && hasKey() ? say("signOut") : say("signIn");
  $("who").textContent = identity ? who(identity) : "";
  $("screens").setAttribute("aria-label", say("screens"));
  const { screen: current } = currentRoute(), tab = SCREENS.find((screen) => screen.name === current)?.tab ?? current;
  $("screens").replaceChildren(...SCREENS.filter((screen) => isAllowed(screen) && !screen.isHidden).map((screen) => {
    const node = link(say(screen.title), addressOf([screen.name]));
    if (screen.name === tab) node.setAttribute("aria-current", "page");
    return node;
  }));
}

function who({ isOperator, tenantName, person, keyId }) {
  const by = person ?? keyId ?? (isOperator ? "" : say("withoutKey"));
  return [isOperator ? say("operator") : tenantName, by].filter(Boolean).join(" · ");
}

async function draw() {
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing, route = currentRoute(), root = document.createElement("div");
  const isElsewhere = shownPlace !== null && shownPlace !== JSON.stringify([route.screen, route.path]);
  shownPlace = JSON.stringify([route.screen, route.path]);
  if (isElsewhere) {
    tell("");
    report(null);
    $("screen").replaceChildren();
  }
  // What is about to be replaced takes no input that would be lost.
  $("screen").inert = true;
  drawFrame();
  const view = { root, route, identity, signal, act, tell, report, title: setTitle, redraw: draw, leave };
  try {
    await drawScreen(view);
  } catch (error) {
    if (!signal.aborted) report(error);
  }
  if (signal.aborted) return;
  $("screen").replaceChildren(root);
  $("screen").inert = false;
  if (isElsewhere) $("title").focus();
  if (toTell) tell(toTell);
  toTell = "";
}

async function drawScreen(view) {
  const allowed = SCREENS.filter((screen) => isAllowed(screen) && !screen.isHidden);
  if (view.route.screen === SIGN_IN || !identity) {
    setTitle(say("signIn"));
    // Once: its code can be used once.
    const given = answer;
    answer = null;
    return drawSignIn(view, signedIn, given);
  }
  if (!view.route.screen) {
    if (allowed.length) return void location.replace(addressOf([allowed[0].name]));
    setTitle(say("consoleName"));
    throw new Error(say("noScreens"));
  }
  const screen = SCREENS.find(({ name }) => name === view.route.screen);
  setTitle(screen ? say(screen.title) : say("consoleName"));
  if (!screen || !isAllowed(screen)) throw new Error(say("noSuchScreen"));
  await (await load(screen)).show(view);
}

// A browser may remember that a module could not be fetched, until the page is loaded again.
async function load(screen) {
  try {
    return await screen.load();
  } catch {
    throw new Error(say("notLoaded"));
  }
}

function leave(parts, text) {
  toTell = text;
  go(parts);
}

// Someone is signed in, or nobody: the screen of the address is theirs.
async function become(someone) {
  identity = someone;
  draftsOf(identity);
  await draw();
}

// From the screen for it to the first one of theirs; from any other, where it was asked for, to that one.
async function signedIn(someone) {
  if (currentRoute().screen !== SIGN_IN) return become(someone);
  identity = someone;
  draftsOf(identity);
  go([]);
}

function start() {
  const preferred = localStorage.getItem("language") || navigator.language;
  state.language = preferred.startsWith("zh") ? "zh" : "en";
  $("language").addEventListener("click", () => {
    state.language = state.language === "zh" ? "en" : "zh";
    localStorage.setItem("language", state.language);
    draw();
  });
  $("sign").addEventListener("click", () => {
    if (!(identity && hasKey())) return go([SIGN_IN]);
    signOut();
    // What is shown goes at once, whatever the next answer is.
    become(null).then(identify).then((someone) => someone && !hasKey() && become(someone)).catch(report);
  });
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("title").focus();
  });
  addEventListener("hashchange", draw);
  answer = takeAnswer();
  const isBack = answer !== null;
  identify().then(async (someone) => {
    const hadEnded = !someone && hasKey(), ended = hasPerson() ? "personEnded" : "sessionEnded";
    if (hadEnded) forgetKey();
    await become(someone);
    // Whoever comes back from the provider is signing in anew.
    if (hadEnded && !isBack) report(new Error(say(ended)));
  }).catch((error) => (drawFrame(), report(error)));
}

start();
