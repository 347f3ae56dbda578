// Pool worker in Node (worker_threads).
import { parentPort, workerData } from 'node:worker_threads';
import { serve } from './pool_loop.mjs';

parentPort.postMessage('ready');
serve(workerData);
