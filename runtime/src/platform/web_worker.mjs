// Pool worker in a browser.
import { serve } from './pool_loop.mjs';

self.onmessage = ({ data }) => {
  self.postMessage('ready');
  serve(data);
  self.close();
};
