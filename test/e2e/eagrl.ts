/** The command from the sources; users have trainer/bin/eagrl.js, which wants dist/. */
import { main } from '../../trainer/src/commands/main.ts';

process.exitCode = await main(process.argv.slice(2));
