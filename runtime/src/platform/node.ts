export { useSoftwareAdapter } from './software_adapter.ts';
