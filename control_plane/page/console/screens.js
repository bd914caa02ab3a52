// The screens. To add one, add a line here, a module that exports `show(view)`, and its words to the catalogue.
//
// `needs`: the scope that its key must have, or several; `operator` for the admin key. Those with `isHidden` have no tab.
// A module is loaded when its screen is opened. See app.js for what a view offers.

export const SCREENS = [
  { name: "label-sets", title: "labelSets", needs: "label_sets:read", load: () => import("./label-sets.js") },
  { name: "new-label-set", title: "newLabelSet", needs: "label_sets:write", isHidden: true, tab: "label-sets", load: () => import("./label-set.js") },
  { name: "workbench", title: "workbench", needs: ["classify", "label_sets:read"], load: () => import("./workbench.js") },
  { name: "batches", title: "batches", needs: "batches:read", load: () => import("./batches.js") },
  { name: "usage", title: "usage", needs: "usage:read", load: () => import("./usage.js") },
  { name: "keys", title: "keys", needs: "keys:read", load: () => import("./keys.js") },
  { name: "tenants", title: "tenants", needs: "operator", load: () => import("./tenants.js") },
  { name: "live", title: "live", needs: "operator", load: () => import("./live.js") },
  { name: "audit", title: "audit", needs: "operator", load: () => import("./audit.js") },
];
