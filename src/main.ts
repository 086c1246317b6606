// The process: reads the command line and runs one command.
console.log('TODO');
