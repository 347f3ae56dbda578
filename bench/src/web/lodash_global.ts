/** benchmark.js finds lodash by require or as the global `_`; a module in a browser has no require. Comes before it. */
import lodash from 'lodash';

Object.assign(globalThis, { _: lodash });
