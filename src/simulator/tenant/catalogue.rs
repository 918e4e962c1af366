//! Products and service plans, as a table of facts.
//!
//! Ids and names are those of Microsoft's published list of products and service plans. The `service` strings
//! are plausible, not established: nothing may depend on them.

/// A service plan: its id, its name, the `service` a user's `assignedPlans` entry carries, and whether it is
/// granted to the company instead of to users.
pub(super) struct Plan {
    pub id: &'static str,
    pub name: &'static str,
    pub service: &'static str,
    pub company: bool,
}

/// A product and the indices of its plans in [`PLANS`].
pub(super) struct Product {
    pub id: &'static str,
    pub part_number: &'static str,
    pub plans: &'static [u8],
}

/// The product of this part number.
pub(super) fn product(part_number: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.part_number == part_number)
}

const fn user(id: &'static str, name: &'static str, service: &'static str) -> Plan {
    Plan {
        id,
        name,
        service,
        company: false,
    }
}

const fn company(id: &'static str, name: &'static str, service: &'static str) -> Plan {
    Plan {
        id,
        name,
        service,
        company: true,
    }
}

#[rustfmt::skip]
pub(super) const PRODUCTS: &[Product] = &[
    Product {
        id: "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
        part_number: "SPE_E5",
        plans: &[
            2, 3, 5, 6, 9, 11, 13, 15, 17, 20, 21, 23, 24, 27, 28, 29, 30, 33, 34, 35, 36, 37, 38, 40,
            45, 47, 48, 49, 51, 53, 55, 56, 59, 60, 61, 62, 64, 65, 67, 69, 70, 76, 78, 79, 80, 82, 83, 87,
            91, 92, 93, 94, 97, 98, 99, 100, 101, 102, 104, 106, 107, 109, 110, 113, 114, 115, 117, 118, 119, 124, 126, 128,
            132, 133, 135, 137, 138, 141, 142, 143, 145, 146, 147, 149, 150, 153,
        ],
    },
    Product {
        id: "05e9a617-0261-4cee-bb44-138d3ef5d965",
        part_number: "SPE_E3",
        plans: &[
            1, 5, 6, 11, 13, 14, 16, 17, 22, 23, 29, 33, 35, 42, 45, 49, 51, 59, 64, 67, 68, 69, 70, 78,
            79, 82, 86, 87, 88, 89, 92, 95, 98, 99, 101, 102, 103, 109, 110, 113, 117, 119, 122, 123, 131, 135, 137, 143,
            147, 149,
        ],
    },
    Product {
        id: "66b55226-6b4f-492c-910c-a3b7a3c9d993",
        part_number: "SPE_F1",
        plans: &[
            5, 11, 25, 31, 33, 39, 49, 59, 64, 66, 67, 69, 70, 72, 73, 78, 79, 82, 84, 85, 86, 87, 92, 99,
            102, 105, 109, 110, 111, 112, 113, 117, 121, 125, 135, 139, 140, 143, 148,
        ],
    },
    Product {
        id: "c7df2760-2c81-4ef7-b578-5b5392b571df",
        part_number: "ENTERPRISEPREMIUM",
        plans: &[
            2, 3, 6, 11, 15, 17, 21, 23, 24, 27, 30, 34, 35, 36, 37, 38, 40, 45, 47, 49, 51, 53, 56, 60,
            61, 62, 65, 67, 78, 80, 82, 83, 87, 93, 97, 99, 100, 101, 102, 104, 106, 107, 109, 110, 113, 114, 118, 126,
            133, 138, 141, 142, 143, 146, 147, 150,
        ],
    },
    Product {
        id: "6fd2c87f-b296-42f0-b197-1e91e994b900",
        part_number: "ENTERPRISEPACK",
        plans: &[
            1, 5, 6, 11, 14, 17, 22, 23, 29, 35, 42, 45, 49, 51, 64, 67, 68, 78, 82, 87, 88, 89, 95, 99,
            102, 103, 109, 110, 113, 122, 123, 135, 137, 143, 147, 149,
        ],
    },
    Product {
        id: "b05e124f-c7cc-45a0-a6aa-8cf78c946968",
        part_number: "EMSPREMIUM",
        plans: &[
            7, 9, 20, 33, 48, 59, 79, 113, 117, 145,
        ],
    },
    Product {
        id: "efccb6f7-5641-4e0e-bd10-b4976e1bf68e",
        part_number: "EMS",
        plans: &[
            7, 33, 59, 79, 86, 113, 117,
        ],
    },
    Product {
        id: "b30411f5-fea1-4a59-9ad9-3db7c7ead579",
        part_number: "POWERAPPS_PER_USER",
        plans: &[
            7, 63, 136, 144,
        ],
    },
    Product {
        id: "a8ad7d2b-b8cf-49d6-b25a-69094a0be206",
        part_number: "POWERAPPS_PER_APP",
        plans: &[
            7, 96, 108, 120,
        ],
    },
    Product {
        id: "dcb1a3ae-b33f-4487-846a-a640262fadf4",
        part_number: "POWERAPPS_VIRAL",
        plans: &[
            7, 10, 44, 127, 130,
        ],
    },
    Product {
        id: "f30db892-07e9-47e9-837c-80727f46fd3d",
        part_number: "FLOW_FREE",
        plans: &[
            7, 10, 44,
        ],
    },
    Product {
        id: "1e1a282c-9c54-43a2-9310-98ef728faace",
        part_number: "DYN365_ENTERPRISE_SALES",
        plans: &[
            0, 8, 19, 51, 71, 77, 143,
        ],
    },
    Product {
        id: "7ac9fe77-66b7-4e5e-9e46-10eed1cff547",
        part_number: "DYN365_TEAM_MEMBERS",
        plans: &[
            4, 7, 8, 12, 32, 41, 46, 49, 51, 52, 54, 71, 74, 81, 116, 129, 143, 151, 152,
        ],
    },
    Product {
        id: "749742bf-0d37-4158-a120-33567104deeb",
        part_number: "DYN365_ENTERPRISE_CUSTOMER_SERVICE",
        plans: &[
            0, 7, 8, 50, 51, 58, 71, 77, 90, 143,
        ],
    },
    Product {
        id: "53818b1b-4a27-454b-8896-0dba576410e6",
        part_number: "PROJECTPROFESSIONAL",
        plans: &[
            7, 43, 51, 75, 143, 154, 155, 156,
        ],
    },
    Product {
        id: "c5928f49-12ba-48f7-ada3-0d743a3601d5",
        part_number: "VISIOCLIENT",
        plans: &[
            7, 18, 57, 134,
        ],
    },
    Product {
        id: "f8a1db68-be16-40ed-86d5-cb42ce701560",
        part_number: "POWER_BI_PRO",
        plans: &[
            7, 65,
        ],
    },
];

#[rustfmt::skip]
pub(super) const PLANS: &[Plan] = &[
    user("03acaee3-9492-4f40-aed4-bcb6b32981b6", "NBENTERPRISE", "Netbreeze"),
    user("041fe683-03e4-45b6-b1af-c0cdc516daee", "POWER_VIRTUAL_AGENTS_O365_P2", "PowerVirtualAgents"),
    user("07699545-9485-468e-95b6-2fca3738be01", "FLOW_O365_P3", "ProcessSimple"),
    user("0898bdbb-73b0-471a-81e5-20f1fe4dd66e", "KAIZALA_STANDALONE", "MicrosoftKaizala"),
    user("0b2c029c-dca0-454a-a336-887285d6ef07", "GUIDES", "exchange"),
    user("0d0c0d31-fae7-41f2-b909-eaf4d7f26dba", "Bing_Chat_Enterprise", "exchange"),
    user("0feaeb32-d00e-4d66-bd5a-43b5b83db82c", "MCOSTANDARD", "MicrosoftCommunicationsOnline"),
    company("113feb6c-3fe4-4440-bddc-54d774bf0318", "EXCHANGE_S_FOUNDATION", "exchange"),
    user("1259157c-8581-4875-bca7-2ffb18c51bda", "PROJECT_ESSENTIALS", "ProjectProgramsAndPortfolios"),
    user("14ab5db5-e6c4-4b20-b4bc-13e36fd2227f", "ATA", "exchange"),
    user("17ab22cd-a0b3-4536-910a-cb6eb12696c0", "DYN365_CDS_VIRAL", "CRM"),
    user("199a5c09-e0ca-4e37-8f7c-b05d533e1ea2", "MICROSOFTBOOKINGS", "exchange"),
    user("1ec58c70-f69c-486a-8109-4b87ce86e449", "FLOW_DYN_TEAM", "ProcessSimple"),
    user("21b439ba-a0ca-424f-a6cc-52f954a5b111", "WIN10_PRO_ENT_SUB", "Windows"),
    user("2789c901-c14e-48ab-a76a-be334d9d793a", "FORMS_PLAN_E3", "OfficeForms"),
    user("28b0fa46-c39a-4188-89e2-58e979a6b014", "DYN365_CDS_O365_P3", "CRM"),
    user("292cc034-7b7c-4950-aaf5-943befd3f1d4", "MDE_LITE", "exchange"),
    user("2b815d45-56e4-4e3a-b65c-66cb9175b560", "ContentExplorer_Standard", "exchange"),
    user("2bdbaf8f-738f-4ac7-9234-3c3ee2ce7d0f", "VISIOONLINE", "SharePoint"),
    user("2da8e897-7791-486b-b08f-cc63c8129df7", "DYN365_ENTERPRISE_SALES", "CRM"),
    user("2e2ddb96-6af9-4b1d-a3f0-d6ecfd22edb2", "ADALLOM_S_STANDALONE", "Adallom"),
    user("2f442157-a11c-46b9-ae5b-6e39ff4e5849", "M365_ADVANCED_AUDITING", "exchange"),
    user("31b4e2fc-4cd6-4e7d-9c1b-41407303bd66", "PROJECT_O365_P2", "ProjectProgramsAndPortfolios"),
    user("33c4f319-9bdd-48d6-9c4d-410b750a4a5a", "MYANALYTICS_P2", "exchange"),
    user("34c0d7a0-a70f-4668-9238-47f9fc208882", "EXCHANGE_ANALYTICS", "exchange"),
    user("36b29273-c6d0-477a-aca6-6fbe24f538e3", "WHITEBOARD_FIRSTLINE1", "WhiteboardServices"),
    user("393a0c96-9ba1-4af0-8975-fa2f853a25ac", "DYN365_BUSINESS_Marketing", "CRM"),
    user("3e26ee1f-8a5f-4d52-aee2-b81ce45c8f40", "MCOMEETADV", "MicrosoftCommunicationsOnline"),
    user("3ec18638-bd4c-4d3b-8905-479ed636b83e", "CustomerLockboxA_Enterprise", "exchange"),
    user("3efbd4ed-8958-4824-8389-1321f8730af8", "MESH_AVATARS_ADDITIONAL_FOR_TEAMS", "exchange"),
    user("3fb82609-8c27-4f7b-bd51-30634711ee67", "BPOS_S_TODO_3", "To-Do"),
    user("3ffba0d2-38e5-4d5e-8ec0-98f2b05c09d9", "STREAM_O365_K", "MicrosoftStream"),
    user("4092fdb5-8d81-41d3-be76-aaba4074530b", "DYN365_TEAM_MEMBERS", "CRM"),
    user("41781fb2-bc02-4b7c-bd55-b576c07bb09d", "AAD_PREMIUM", "AADPremiumService"),
    user("41fcdd7d-4733-4863-9cf4-c65b83ce2df4", "COMMUNICATIONS_COMPLIANCE", "exchange"),
    user("43de0ff5-c92c-492b-9116-175376d08c38", "OFFICESUBSCRIPTION", "MicrosoftOffice"),
    user("46129a58-a698-46f0-aa5b-17f6586297d9", "DATA_INVESTIGATIONS", "exchange"),
    user("4828c8ec-dc2e-4779-b502-87ac9ce28ab7", "MCOEV", "MicrosoftCommunicationsOnline"),
    user("4a51bca5-1eff-43f5-878c-177680f191af", "WHITEBOARD_PLAN3", "WhiteboardServices"),
    user("4a82b400-a79f-41a4-b4e2-e94f5787b113", "EXCHANGE_S_DESKLESS", "exchange"),
    user("4de31727-a228-4ec3-a5bf-8e45b5ca48cc", "EQUIVIO_ANALYTICS", "exchange"),
    user("4f4c7800-298a-4e22-8867-96b17850d4dd", "MICROSOFT_REMOTE_ASSIST", "exchange"),
    user("4ff01e01-1ba7-4d71-8cf8-ce96c3bbcf14", "DYN365_CDS_O365_P2", "CRM"),
    user("50554c47-71d9-49fd-bc54-42a2765c555c", "DYN365_CDS_PROJECT", "CRM"),
    user("50e68c76-46c6-4674-81f9-75456511b170", "FLOW_P2_VIRAL", "ProcessSimple"),
    user("5136a095-5cf0-4aff-bec3-e84448b38ea5", "MIP_S_CLP1", "MIPExchangeSolutions"),
    user("52e619e2-2730-439a-b0d3-d09ab7e8b705", "POWERAPPS_DYN_TEAM", "PowerAppsService"),
    user("531ee2f8-b1cb-453b-9c21-d2180d014ca5", "EXCEL_PREMIUM", "exchange"),
    user("5689bec4-755d-4753-8b61-40975025187c", "RMS_S_PREMIUM2", "RMSOnline"),
    user("57ff2da0-773e-42df-b2af-ffb7a2317929", "TEAMS1", "TeamspaceAPI"),
    user("5b1e5982-0e88-47bb-a95e-ae6085eda612", "D365_CSI_EMBED_CSEnterprise", "CRM"),
    user("5dbe027f-2339-4123-9542-606e4d348a72", "SHAREPOINTENTERPRISE", "SharePoint"),
    user("60bf28f9-2b70-4522-96f7-335f5e06c941", "Power_Pages_Internal_User", "exchange"),
    user("617b097b-4b93-4ede-83de-5f075bb5fb2f", "PREMIUM_ENCRYPTION", "exchange"),
    user("643d201a-9884-45be-962a-06ba97062e5e", "DYN365_Enterprise_Talent_Attract_TeamMember", "CRM"),
    user("64bfac92-2b17-4482-b5e5-a0304429de3e", "MICROSOFTENDPOINTDLP", "exchange"),
    user("65cc641f-cccd-4643-97e0-a17e3045e541", "RECORDS_MANAGEMENT", "exchange"),
    user("663a804f-1c30-4ff0-9915-9db84f0d1cea", "VISIO_CLIENT_SUBSCRIPTION", "SharePoint"),
    user("67bf4812-f90b-4db9-97e7-c0bbbf7b2d09", "Forms_Pro_Service", "OfficeForms"),
    user("6c57d4b6-3b23-47a5-9bc9-69f17b4947b3", "RMS_S_PREMIUM", "RMSOnline"),
    user("6c6042f5-6f01-4d67-b8c1-eb99d36eed3e", "STREAM_O365_E5", "MicrosoftStream"),
    user("6db1f1db-2b46-403f-be40-e39395f08dbb", "CUSTOMER_KEY", "exchange"),
    user("6dc145d6-95dd-4191-b9c3-185575ee6f6b", "COMMUNICATIONS_DLP", "exchange"),
    user("6ea4c1ef-c259-46df-bce2-943342cd3cb2", "DYN365_CDS_P2", "CRM"),
    company("6f23d6a9-adbf-481c-8538-b4c095654487", "M365_LIGHTHOUSE_CUSTOMER_PLAN1", "exchange"),
    user("70d33638-9c74-4d01-bfd3-562de28bd4ba", "BI_AZURE_P2", "PowerBI"),
    user("73b2a583-6a59-42e3-8e83-54db46bc3278", "KAIZALA_O365_P1", "MicrosoftKaizala"),
    user("7547a3fe-08ee-4ccb-b430-5077c5041653", "YAMMER_ENTERPRISE", "YammerEnterprise"),
    user("76846ad7-7776-4c40-a281-a386362dd1b9", "FLOW_O365_P2", "ProcessSimple"),
    user("795f6fe0-cc4d-4773-b050-5dde4dc704c9", "UNIVERSAL_PRINT_01", "exchange"),
    user("7bf960f6-2cd9-443a-8046-5dbff9558365", "WINDOWSUPDATEFORBUSINESS_DEPLOYMENTSERVICE", "Windows"),
    user("7e6d7d78-73de-46ba-83b1-6d25117334ba", "FLOW_DYN_APPS", "ProcessSimple"),
    user("7f6f28c2-34bb-4d4b-be36-48ca2e77e1ec", "PROJECT_O365_F3", "ProjectProgramsAndPortfolios"),
    user("80873e7a-cd2a-4e67-b061-1b5381a676a5", "BPOS_S_TODO_FIRSTLINE", "To-Do"),
    user("816971f4-37c5-424a-b12b-b56881f402e7", "POWERAPPS_GUIDES", "PowerAppsService"),
    user("818523f5-016b-4355-9be8-ed6944946ea7", "PROJECT_PROFESSIONAL", "ProjectProgramsAndPortfolios"),
    user("871d91ec-ec1a-452b-a83f-bd76c7d770ef", "WINDEFATP", "WindowsDefenderATP"),
    user("874fc546-6efe-4d22-90b8-5c4e7aa59f4b", "POWERAPPS_DYN_APPS", "PowerAppsService"),
    user("882e1d05-acd1-4ccb-8708-6ee03664b117", "INTUNE_O365", "SCO"),
    user("8a256a2b-b617-496d-b51b-e76466e88db0", "MFA_PREMIUM", "MultiFactorService"),
    user("8c098270-9dd4-4350-9b30-ba4703f3b36b", "ADALLOM_S_O365", "Adallom"),
    user("8c66ef8a-177f-4c0d-853c-d4f219331d09", "DYN365_ENTERPRISE_FIELD_SERVICE", "CRM"),
    user("8c7d2df8-86f0-4902-b2ed-a0458298f3b3", "DESKLESS", "Deskless"),
    user("8e0c0a52-6a6c-4d40-8370-dd62790dcd70", "THREAT_INTELLIGENCE", "exchange"),
    user("902b47e5-dcb2-4fdc-858b-c63a90a2bdb9", "SHAREPOINTDESKLESS", "SharePoint"),
    user("90db65a7-bf11-4904-a79f-ef657605145b", "CDS_O365_F1", "CRM"),
    user("932ad362-64a8-4783-9106-97849a1a30b9", "ADALLOM_S_DISCOVERY", "Adallom"),
    user("94065c59-bc8e-4e8b-89e5-5138d471eaff", "MICROSOFT_SEARCH", "exchange"),
    user("94a54592-cd8b-425e-87c6-97868b000b91", "WHITEBOARD_PLAN2", "WhiteboardServices"),
    user("95b76021-6a53-4741-ab8b-1d1f3d66a95a", "CDS_O365_P2", "CRM"),
    user("99340b49-fb81-4b1e-976b-8f2ae8e9394f", "DYN365_ENTERPRISE_CUSTOMER_SERVICE", "CRM"),
    user("99cd49a9-0e54-4e07-aea1-d8d9f5f704f5", "Defender_for_Iot_Enterprise", "exchange"),
    user("9a6eeb79-0b4b-4bf0-9808-39d99a2cd5a3", "Windows_Autopatch", "Windows"),
    user("9c0dab89-a30c-4117-86e7-97bda240acd2", "POWERAPPS_O365_P3", "PowerAppsService"),
    user("9d0c4ee5-e4a1-4625-ab39-d82b619b1a34", "INSIDER_RISK_MANAGEMENT", "exchange"),
    user("9e700747-8b1d-45e5-ab8d-ef187ceec156", "STREAM_O365_E3", "MicrosoftStream"),
    user("9f2f00ad-21ae-4ceb-994b-d8bc7be90999", "CDS_PER_APP", "CRM"),
    user("9f431833-0334-42de-a7dc-70aa40db46db", "LOCKBOX_ENTERPRISE", "exchange"),
    user("a1ace008-72f3-4ea0-8dac-33b3a23a2472", "CLIPCHAMP", "exchange"),
    user("a23b959c-7ce8-4e57-9140-b90eb88a9e97", "SWAY", "Sway"),
    user("a413a9ff-720c-4822-98ef-2f37c2a21f4c", "MICROSOFT_COMMUNICATION_COMPLIANCE", "exchange"),
    user("a6520331-d7d4-4276-95f5-15c0933bc757", "GRAPH_CONNECTORS_SEARCH_INDEX", "exchange"),
    user("a82fbf69-b4d7-49f4-83a6-915b2cf354f4", "VIVAENGAGE_CORE", "exchange"),
    user("aebd3021-9f8f-4bf8-bbe3-0ed2f4f047a1", "KAIZALA_O365_P3", "MicrosoftKaizala"),
    user("afa73018-811e-46e9-988f-f75d2b1b8430", "CDS_O365_P3", "CRM"),
    user("afc06cb0-b4f4-4473-8286-d644f70d8faf", "MCOIMP", "MicrosoftCommunicationsOnline"),
    user("b1188c4c-1b36-4018-b48b-ee07604f6feb", "PAM_ENTERPRISE", "exchange"),
    user("b21a6b06-1988-436e-a07b-51ec6d9f52ad", "PROJECT_O365_P3", "ProjectProgramsAndPortfolios"),
    user("b4f657ff-d83e-4053-909d-baa2b595ec97", "POWERAPPS_PER_APP", "PowerAppsService"),
    user("b737dad2-2f6c-4c65-90e3-ca563267e8b9", "PROJECTWORKMANAGEMENT", "ProjectWorkManagement"),
    user("b76fb638-6ba6-402a-b9f9-83d28acb3d86", "VIVA_LEARNING_SEEDED", "exchange"),
    user("ba2fdb48-290b-4632-b46a-e4ecc58ac11a", "POWER_VIRTUAL_AGENTS_O365_F1", "PowerVirtualAgents"),
    user("bd91b1a4-9f94-4ecf-b45b-3a65e5c8128a", "FLOW_O365_S1", "ProcessSimple"),
    user("bea4c11e-220a-4e6d-8eb8-8ea15d019f90", "RMS_S_ENTERPRISE", "RMSOnline"),
    user("bf28f719-7844-4079-9c78-c1307898e192", "MTP", "exchange"),
    user("bf6f5520-59e3-4f82-974b-7dbbc4fd27c7", "SAFEDOCS", "exchange"),
    user("c0454a3d-32b5-4740-b090-78c32f48f0ad", "Dynamics_365_for_Retail_Team_members", "exchange"),
    user("c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "INTUNE_A", "SCO"),
    user("c4801e8a-cb58-4c35-aca6-f2dcc106f287", "INFORMATION_BARRIERS", "exchange"),
    user("c4b8c31a-fb44-4c65-9837-a21f55fcabda", "MICROSOFT_LOOP", "exchange"),
    user("c539fa36-a64e-479a-82e1-e40ff2aa83ee", "Flow_Per_APP", "ProcessSimple"),
    user("c63d4d19-e8cb-460e-b37c-4d6c34603745", "OFFICEMOBILE_SUBSCRIPTION", "MicrosoftOffice"),
    user("c68f8d98-5534-41c8-bf36-22fa496fa792", "POWERAPPS_O365_P2", "PowerAppsService"),
    user("c87f142c-d1e9-4363-8630-aaea9c4d9ae5", "BPOS_S_TODO_2", "To-Do"),
    user("c948ea65-2053-4a5a-8a62-9eaaaf11b522", "PURVIEW_DISCOVERY", "exchange"),
    user("ca6e61ec-d4f4-41eb-8b88-d96e0e14323f", "DYN365_CDS_O365_F1", "CRM"),
    user("cd31b152-6326-4d1b-ae1b-997b625182e6", "MIP_S_Exchange", "MIPExchangeSolutions"),
    user("d20bfa21-e9ae-43fc-93c2-20783f0840c3", "FLOW_P2_VIRAL_REAL", "ProcessSimple"),
    user("d2d51368-76c9-4317-ada2-a12c004c432f", "ML_CLASSIFICATION", "exchange"),
    user("d5156635-0704-4f66-8803-93258f8b2678", "Dynamics_365_for_Talent_Team_members", "exchange"),
    user("d5368ca3-357e-4acb-9c21-8495fb025d1f", "POWERAPPS_P2_VIRAL", "PowerAppsService"),
    company("d55411c9-cfff-40a9-87c7-240f14df7da5", "M365_LIGHTHOUSE_PARTNER_PLAN1", "exchange"),
    user("d587c7a3-bda9-4f99-8776-9bcf59c84f75", "INSIDER_RISK", "exchange"),
    user("d9fa6af4-e046-4c89-9226-729a0786685d", "Content_Explorer", "exchange"),
    user("da792a53-cbc0-4184-a10d-e544dd34b3c1", "ONEDRIVE_BASIC", "SharePoint"),
    user("db4d623d-b514-490b-b7ef-8885eee514de", "Nucleus", "exchange"),
    user("dc789ed8-0170-4b65-a415-eb77d5bb350a", "Flow_PowerApps_PerUser", "ProcessSimple"),
    user("dcf9d2f4-772e-4434-b757-77a453cfbc02", "MESH_AVATARS_FOR_TEAMS", "exchange"),
    user("ded3d325-1bdc-453e-8432-5bac26d7a014", "POWER_VIRTUAL_AGENTS_O365_P3", "PowerVirtualAgents"),
    user("e0287f9f-e222-4f98-9a83-f379e249159a", "POWERAPPS_O365_S1", "PowerAppsService"),
    user("e041597c-9c7f-4ed9-99b0-2663301576f7", "WIN10_ENT_LOC_F1", "Windows"),
    user("e212cbc7-0961-4c40-9825-01117710dcb1", "FORMS_PLAN_E5", "OfficeForms"),
    user("e26c2fcc-ab91-4a61-b35c-03cdc8dddf66", "INFO_GOVERNANCE", "exchange"),
    user("e95bec33-7c88-4a70-8e19-b10bd9d0c014", "SHAREPOINTWAC", "SharePoint"),
    user("ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86", "POWERAPPS_PER_USER", "PowerAppsService"),
    user("eec0eb4f-6444-4f95-aba0-50c24d67f998", "AAD_PREMIUM_P2", "AADPremiumService"),
    user("efb0351d-3b08-4503-993d-383af8de41e3", "MIP_S_CLP2", "MIPExchangeSolutions"),
    user("efb87545-963c-4e0d-99df-69c6916d9eb0", "EXCHANGE_S_ENTERPRISE", "exchange"),
    user("f07046bd-2a3c-4b96-b0be-dea79d7cbfb8", "FORMS_PLAN_K", "OfficeForms"),
    user("f0ff6ac6-297d-49cd-be34-6dfef97f0c28", "MESH_IMMERSIVE_FOR_TEAMS", "exchange"),
    user("f20fedf3-f3c3-43c3-8267-2bfdd51c0939", "ATP_ENTERPRISE", "exchange"),
    user("f2f49eef-4b3f-4853-809a-a055c6103fe0", "DYN365_Enterprise_Talent_Onboard_TeamMember", "CRM"),
    user("f5aa7b45-8a36-4cd1-bc37-5d06dea98645", "Dynamics_365_for_Operations_Team_members", "exchange"),
    company("f6de4823-28fa-440b-b886-4783fa86ddba", "M365_AUDIT_PLATFORM", "exchange"),
    user("fa200448-008c-4acb-abd4-ea106ed2199d", "FLOW_FOR_PROJECT", "ProcessSimple"),
    user("fafd7243-e5c1-4a3a-9e40-495efcb1d3c3", "PROJECT_CLIENT_SUBSCRIPTION", "ProjectProgramsAndPortfolios"),
    user("fe71d6c3-a2ea-4499-9778-da042bf08063", "SHAREPOINT_PROJECT", "SharePoint"),
];
