// Plain JavaScript, so that a Node which cannot run the TypeScript sources still says so in one line.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `banyan: Node ${process.versions.node} cannot run the TypeScript sources. Run 'npm ci' without --ignore-scripts (it brings Node 26 as node_modules/.bin/node) and start with 'npm start', or use Node >= 22.18.`,
  )
  process.exit(1)
}
