const DRILL = ["open", "with", "tab", "page"];
function drawDrill() {}
function closeDrillWithDialog() {}
