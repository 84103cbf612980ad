"""MCP servers: what the SDK reports that it uses and found, and what it reads of them."""

import pytest
from raw import Agent, header_signed

from conftest import register

MANIFEST = {"tools": [{"name": "read_file", "description": "Reads a file"}, {"name": "write_file"}]}


def registered(manager, name):
    server = {"name": name, "url": f"https://{name}.example/mcp"}
    return manager.call("POST", "/mcp-servers", 201, json=server)


def servers_of(manager, client):
    return manager.call("GET", f"/agents/{client.agent_id}/mcp-servers", 200)


def test_a_server_is_registered_to_the_agent_by_id_or_name(manager, client, name):
    by_id, by_name = registered(manager, f"{name}-files"), registered(manager, f"{name}-mail")
    told = client.register_mcp(by_id["id"], detection_method="manual", confidence=100.0, metadata={"why": "test"})
    assert (told["success"], told["added"], told["agent_id"]) == (True, 1, client.agent_id)
    assert client.register_mcp(by_name["name"])["added"] == 1
    assert client.register_mcp(by_name["name"], confidence=99.0)["added"] == 0
    seen = servers_of(manager, client)
    assert [server["id"] for server in seen["mcp_servers"]] == [by_id["id"], by_name["id"]]
    assert {server["source"] for server in seen["mcp_servers"]} == {"reported"}
    # A name that nobody registered is kept as what it is: something the agent says that it uses.
    assert client.register_mcp("filesystem-mcp-server")["added"] == 1
    seen = servers_of(manager, client)
    assert (seen["total"], "filesystem-mcp-server" in seen["talks_to"]) == (2, True)


def test_an_unknown_id_is_refused(manager, client):
    from aim_sdk.exceptions import VerificationError

    with pytest.raises(VerificationError, match="422"):
        client.register_mcp("0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a")
    assert servers_of(manager, client)["total"] == 0


def test_detections_connect_what_is_registered_and_tell_new_from_known(manager, client, name):
    server = registered(manager, f"{name}-files")
    found = [
        {
            "mcpServer": what, "detectionMethod": "claude_config", "confidence": 95.5,
            "details": {"command": "npx"}, "sdkVersion": "aim-sdk-python@2.0.3", "timestamp": "2026-01-01T00:00:00Z",
        }
        for what in (server["name"], f"{name}-shadow")
    ]
    told = client.report_detections(found)
    assert (told["success"], told["detectionsProcessed"]) == (True, 2)
    assert (told["newMCPs"], told["existingMCPs"]) == ([server["name"], f"{name}-shadow"], [])
    assert client.report_detections(found[1:])["existingMCPs"] == [f"{name}-shadow"]
    assert [one["id"] for one in servers_of(manager, client)["mcp_servers"]] == [server["id"]]
    status = manager.call("GET", f"/detection/agents/{client.agent_id}/status", 200)
    assert [one["name"] for one in status["detectedMCPs"]] == [server["name"], f"{name}-shadow"]
    assert (status["sdkVersion"], status["sdkInstalled"]) == ("aim-sdk-python@2.0.3", False)


def test_the_sdk_reports_itself(manager, client):
    client.report_sdk_integration(sdk_version="aim-sdk-python@2.0.3", platform="python", capabilities=["auto_detect"])
    status = manager.call("GET", f"/detection/agents/{client.agent_id}/status", 200)
    assert (status["sdkInstalled"], status["detectedMCPs"]) == (True, [])


def test_a_server_is_registered_listed_read_and_not_registered_twice(server, manager, client, name):
    import base64

    import nacl.signing
    from aim_sdk.integrations.mcp import registration as mcp

    key = base64.b64encode(bytes(nacl.signing.SigningKey.generate().verify_key)).decode()
    made = mcp.register_mcp_server(
        client, f"{name}-research", f"https://{name}.example/", key, ["tools"], description="Finds papers"
    )
    assert made["status"] == "pending"
    again = mcp.register_mcp_server(client, "another name", f"HTTPS://{name}.example:443", key, ["tools"])
    assert again["id"] == made["id"]
    assert [one["id"] for one in mcp.list_mcp_servers(client)] == [made["id"]]
    native = mcp.get_mcp_server(client, made["id"])
    assert (native["name"], native["connected_agents"], native["created_by"]) == (
        f"{name}-research", 1, f"agent:{client.agent_id}",
    )
    # Whoever is not connected to it does not learn that it is there.
    other = register(server, f"{name}-other")
    with pytest.raises(ValueError, match="not found"):
        mcp.get_mcp_server(other, made["id"])
    # Deleting is for managers.
    with pytest.raises(Exception):
        mcp.delete_mcp_server(client, made["id"])
    assert manager.call("GET", f"/mcp-servers/{made['id']}", 200)["status"] == "pending"


def test_what_is_known_of_a_server_is_read_by_its_name_with_spaces(server, manager, client, name):
    entry = {"name": f"{name} my files", "url": f"stdio://npx {name}"}
    made = manager.call("POST", "/mcp-servers", 201, json=entry)
    manager.call("PUT", f"/agents/{client.agent_id}/mcp-servers", 200, json={"mcp_server_ids": [made["id"]]})
    path = f"/api/v1/sdk-api/agents/{client.agent_id}/mcp-servers/by-name?name={name} my files"
    assert client._make_request("GET", path)["hasCachedCapabilities"] is False
    manager.call("POST", f"/mcp-servers/{made['id']}/manifests", 201, json=MANIFEST)
    agent = Agent.of(client)
    url = server.url + path.replace(" ", "%20")
    known = header_signed(agent, "GET", url, timestamp=None)
    if known.status_code == 401:  # the second in the same second is the same signature
        import time

        known = header_signed(agent, "GET", url, timestamp=str(int(time.time()) + 1))
    assert known.json()["capabilities"] == ["read_file", "write_file"]


def test_another_agents_servers_are_out_of_reach(server, manager, client, name):
    other = register(server, f"{name}-other")
    agent = Agent.of(client)
    for path, body in (
        (f"/api/v1/sdk-api/agents/{other.agent_id}/mcp-servers", {"mcp_server_ids": ["files"]}),
        (
            f"/api/v1/detection/agents/{other.agent_id}/report",
            {"detections": [{"mcpServer": "x", "detectionMethod": "y", "confidence": 1}]},
        ),
    ):
        assert header_signed(agent, "POST", server.url + path, body).status_code == 404
    assert servers_of(manager, other)["total"] == 0
