"""A headless Chromium, and what is asked of any page in it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

SWITCHES = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
# WCAG 2.2: text that is not large needs 4.5:1. Colours come back from a canvas as they were painted.
CONTRASTS = """
const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
function channels(colour) {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
}
function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(element) {
  for (; element; element = element.parentElement) {
    const painted = channels(getComputedStyle(element).backgroundColor);
    if (painted[3] === 255) return painted.slice(0, 3);
  }
  return [255, 255, 255];
}
const found = {};
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || element.closest("script, style, option") || !element.getClientRects().length) continue;
  const style = getComputedStyle(element), isDrawn = element.closest("svg");
  const text = channels(isDrawn ? style.fill : style.color).slice(0, 3);
  const [low, high] = [luminance(text), luminance(ground(element))].sort((a, b) => a - b);
  const name = `${element.tagName} ${element.className.baseVal ?? element.className}`;
  found[name] = Math.min(found[name] ?? 21, (high + 0.05) / (low + 0.05));
}
return found;
"""


class Browser:
    """A Chromium of one test, which remembers what it asked the network for and what went wrong in it."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
        if None in programs:
            pytest.fail("no chromium and chromedriver here: run `make test-browser`, which installs them")
        options = webdriver.ChromeOptions()
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.binary_location = str(programs[0])
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(programs[1]))

    def open(self, page: Path | str, width: int = 1280, scheme: str = "light") -> None:
        """Opens a file, or an address."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        wished = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wished)
        self.driver.get(page if isinstance(page, str) else page.as_uri())

    def js(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def elements(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def point_at(self, element: Any) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).move_to_element(element).perform()

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]
